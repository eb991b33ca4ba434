// The page of what was spent: a plot and a table for each currency, the outcomes nobody knows, and all of it as CSV.

import { Refused } from "./api.js";
import { element, find } from "./element.js";
import { money } from "./facts.js";
import { language, t, translate } from "./language.js";
import { plot } from "./plot.js";
import { budgets, dayOf, spendings, unknowns } from "./spending.js";
import { followTheme } from "./theme.js";

const DAYS = 30; // that are shown first
const GROUPS = 5; // with a colour of their own
const fields = ["from", "until", "dag", "by"].map(find);
const [from, until, dag, by] = fields;

let spent = [];
let limits = [];
let reading = 0;

function filter() {
  const start = new Date(`${from.value}T00:00`);
  const end = new Date(`${until.value}T00:00`);
  return { dagId: dag.value.trim(), from: start.toISOString(), until: new Date(end.getFullYear(), end.getMonth(), end.getDate() + 1).toISOString() };
}

function everyDay() {
  const days = [];
  for (const day = new Date(`${from.value}T00:00`); dayOf(day) <= until.value && days.length < 1000; day.setDate(day.getDate() + 1)) {
    days.push(dayOf(day));
  }
  return days;
}

const groupOf = (one) => (by.value === "model" ? one.model ?? t("severalModels") : one.dagId);

function groups(some, days) {
  const sums = new Map();
  some.forEach((one) => sums.set(groupOf(one), (sums.get(groupOf(one)) ?? 0) + one.cost));
  const largest = [...sums].sort(([, one], [, other]) => other - one).map(([name]) => name);
  const named = largest.slice(0, GROUPS);
  const made = [...named, ...(largest.length > GROUPS ? [t("others")] : [])].map((name) => ({ name, amounts: days.map(() => 0) }));
  for (const one of some) {
    const at = named.indexOf(groupOf(one));
    const day = days.indexOf(one.day);
    if (day >= 0) {
      made[at < 0 ? GROUPS : at].amounts[day] += one.cost;
    }
  }
  return made;
}

function rows(some) {
  const sums = new Map();
  for (const one of some) {
    const key = JSON.stringify([one.day, groupOf(one)]);
    const row = sums.get(key) ?? { day: one.day, group: groupOf(one), cost: 0, estimate: false };
    sums.set(key, { ...row, cost: row.cost + one.cost, estimate: row.estimate || Boolean(one.estimate) });
  }
  return [...sums.values()].sort((one, other) => other.day.localeCompare(one.day) || one.group.localeCompare(other.group));
}

const currencies = () => [...new Set(spent.map((one) => one.currency))].sort();

function table(some, currency) {
  const names = [t("day"), t(by.value === "model" ? "model" : "dag"), t("cost")];
  const head = element("tr", {}, ...names.map((textContent) => element("th", { scope: "col", textContent })));
  const body = rows(some).map((row) => {
    const amount = money(row.cost, currency);
    const cells = [row.day, row.group, row.estimate ? t("estimated", { amount }) : amount];
    return element("tr", {}, ...cells.map((textContent) => element("td", { textContent })));
  });
  return element("details", {}, element("summary", { textContent: t("inNumbers") }), element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
}

function draw() {
  const place = find("plots");
  place.replaceChildren();
  const days = everyDay();
  for (const currency of currencies()) {
    const some = spent.filter((one) => one.currency === currency);
    const sum = money(some.reduce((all, one) => all + one.cost, 0), currency);
    const title = some.some((one) => one.estimate) ? t("estimated", { amount: sum }) : sum;
    const section = element("section", {}, element("h2", { textContent: title }));
    place.append(section);
    plot(section, { days, groups: groups(some, days), budgets: limits.filter((one) => one.currency === currency), currency });
    section.append(table(some, currency));
  }
  find("summary").textContent = currencies().length > 0 ? t("spentOn", { count: spent.length }) : t("nothingSpent");
  find("csv").disabled = spent.length === 0;
}

function tell(found) {
  find("unknown").hidden = false;
  for (const { at, of, connection, where, reason } of found) {
    const minute = new Date(at).toLocaleString(language, { dateStyle: "short", timeStyle: "short" });
    const place = [minute, connection, `${of.dagId} / ${of.taskId}`, of.runId, where].filter(Boolean).join(", ");
    const item = element("li", {}, element("strong", { textContent: place }), reason ? `: ${reason}` : "");
    item.append(element("div", { className: "advice", textContent: t("todoUnknown") }));
    find("unknown-list").append(item);
  }
}

/** A table program must not take a cell for a formula. */
const cell = (value) => `"${String(value ?? "").replace(/^(?=[=+\-@\t\r\n])/, "'").replaceAll('"', '""')}"`;

function csv() {
  const names = ["day", "dag_id", "run_id", "task_id", "model", "cost", "currency", "estimate"];
  const lines = spent.map((one) => [one.day, one.dagId, one.runId, one.taskId, one.model, one.cost, one.currency, one.estimate].map((value) => (typeof value === "number" ? value : cell(value))).join(","));
  const href = URL.createObjectURL(new Blob([[names.join(","), ...lines].join("\r\n")], { type: "text/csv" }));
  element("a", { href, download: `spend-${from.value}-${until.value}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}

async function read() {
  reading += 1;
  const turn = reading;
  const current = (work) => (found) => turn === reading && work(found);
  delete document.body.dataset.state;
  [spent, limits] = [[], await budgets().catch(() => [])];
  find("notice").hidden = find("unknown").hidden = true;
  find("unknown-list").replaceChildren();
  find("summary").textContent = t("adding");
  const say = (textContent) => find("notice").append(element("p", { textContent }));
  find("notice").replaceChildren();
  try {
    const all = await spendings(filter(), current((found) => (spent = [...spent, ...found])));
    if (turn !== reading) {
      return;
    }
    draw();
    if (!all) {
      say(t("notAllAdded", { count: spent.length }));
    }
    await unknowns(filter(), current(tell)).catch(() => say(t("unknownUnread")));
  } catch (error) {
    find("summary").textContent = t("nothingToShow");
    say(error instanceof Refused ? error.message : t("failedReading"));
  }
  find("notice").hidden = find("notice").children.length === 0;
  document.body.dataset.state = "read";
}

translate();
followTheme();
until.value = dayOf(new Date());
from.value = dayOf(new Date(Date.now() - (DAYS - 1) * 86_400_000));
[from, until, dag].forEach((field) => field.addEventListener("change", () => from.value && until.value && read()));
by.addEventListener("change", draw);
find("csv").addEventListener("click", csv);
new MutationObserver(draw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
read();
