// Dark or light as Airflow is, whose page this one lies in; as the system is when it is opened alone.

const dark = matchMedia("(prefers-color-scheme: dark)");

function airflow() {
  try {
    return parent === window ? null : parent.document.documentElement;
  } catch {
    return null; // another origin
  }
}

function follow() {
  const classes = airflow()?.classList;
  const known = classes?.contains("dark") || classes?.contains("light");
  const isDark = known ? classes.contains("dark") : dark.matches;
  const page = document.documentElement;
  page.dataset.theme = isDark ? "dark" : "light";
  page.style.removeProperty("--ground");
  if (known) {
    page.style.setProperty("--ground", ground(frameElement));
  }
}

/** The colour that lies behind an element of Airflow's page. */
function ground(element) {
  for (let above = element.parentElement; above; above = above.parentElement) {
    const color = getComputedStyle(above).backgroundColor;
    if (!/^rgba\(.*, 0\)$|^transparent$/.test(color)) {
      return color;
    }
  }
  return ""; // the one of the style sheet
}

export function followTheme() {
  follow();
  dark.addEventListener("change", follow);
  const page = airflow();
  if (page) {
    new MutationObserver(follow).observe(page, { attributes: true, attributeFilter: ["class"] });
  }
}
