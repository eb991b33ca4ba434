// Draws what did not come: which row and prompt it was, why, and what to do about it.

import { element } from "./element.js";
import { isNumber } from "./facts.js";
import { t } from "./language.js";
import { texts } from "./plain.js";

const ADVICE = {
  unknown: () => t("todoUnknown"),
  paid: () => t("todoPaid"),
  unmarked: () => t("todoUnmarked"),
  refused: () => t("todoRefused"),
};

/** One failed request or image; a request of a batch is known by its row and its prompt. */
export function failure({ owner, index, where, labels, prompt, outcome, reason }) {
  const named = texts(labels).map(([name, value]) => `${name} ${value}`).join(", ");
  const number = isNumber(index) ? t("imageNumber", { index }) : null;
  const place = [owner.name, where, number, named, prompt ? t("quoted", { words: prompt }) : null];
  const item = element("li", {}, element("strong", { textContent: `${place.filter(Boolean).join(", ")}: ` }), String(reason ?? t("noReason")));
  const advice = Object.hasOwn(ADVICE, outcome ?? "") ? ADVICE[outcome]() : null;
  if (advice) {
    item.append(element("div", { className: "advice", textContent: advice }));
  }
  return item;
}
