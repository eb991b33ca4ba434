// Draws what was spent in one currency: a bar for each day, a colour for each group, a line for each budget.

import { element } from "./element.js";
import { t } from "./language.js";

const COLORS = ["#3b82c4", "#d97706", "#4d9a57", "#a855a8", "#c2413b", "#6b7280"];
const HEIGHT = 260;

/**
 * `days` and, for each of the named `groups`, amounts by day; `budgets` as numbers.
 *
 * The bars are stacked by drawing sums, the largest first; a table beside the plot says the same in words.
 */
export function plot(place, { days, groups, budgets, currency }) {
  const style = getComputedStyle(document.documentElement);
  const [ink, line] = ["--text", "--line"].map((name) => style.getPropertyValue(name).trim());
  const sums = [];
  groups.forEach(({ amounts }, at) => sums.push(amounts.map((amount, day) => amount + (sums[at - 1]?.[day] ?? 0))));
  const bars = groups.map(({ name }, at) => ({
    label: name,
    fill: COLORS[at % COLORS.length],
    stroke: COLORS[at % COLORS.length],
    width: 0,
    points: { show: false },
    paths: uPlot.paths.bars({ size: [0.7, 60] }),
    value: (_, __, ___, day) => (day === null ? "" : String(Number(groups[at].amounts[day].toFixed(4)))),
  }));
  const lines = budgets.map(({ connection, day }) => ({ label: t("budgetOf", { connection }), stroke: ink, dash: [6, 4], width: 1.5, points: { show: false }, value: () => String(day) }));
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  const seconds = days.map((day) => new Date(`${day}T00:00`).getTime() / 1000);
  const order = bars.map((_, at) => at).reverse();
  const data = [seconds, ...order.map((at) => sums[at]), ...budgets.map(({ day }) => days.map(() => day))];
  const options = {
    width: Math.max(place.clientWidth, 280),
    height: HEIGHT,
    series: [{ label: t("day"), value: (_, moment) => (moment ? new Date(moment * 1000).toLocaleDateString("sv") : "") }, ...order.map((at) => bars[at]), ...lines],
    axes: [{ ...axis, values: (_, moments) => moments.map((moment) => new Date(moment * 1000).toLocaleDateString("sv").slice(5)), incrs: [1, 2, 7, 14, 30].map((count) => count * 86400) }, { ...axis, size: 64 }],
    scales: { x: { range: (_, from, until) => [from - 43200, until + 43200] }, y: { range: (_, __, most) => [0, (most || 1) * 1.1] } },
    cursor: { drag: { x: false, y: false } },
  };
  const box = element("div", { className: "plot" });
  box.setAttribute("role", "img");
  box.setAttribute("aria-label", t("plotLabel", { currency: currency ?? "?" }));
  place.append(box);
  return new uPlot(options, data, box);
}
