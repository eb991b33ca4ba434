// Makes what a page shows. All text is set as text: a prompt is never HTML.

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** A button that does `work`. */
export function button(textContent, work, properties = {}) {
  const made = element("button", { type: "button", textContent, ...properties });
  made.addEventListener("click", work);
  return made;
}

export const find = (id) => document.getElementById(id);
