// The pages speak the browser's language: Chinese where it comes before English, else English.

import { TEXTS } from "./texts.js";

const wanted = (globalThis.navigator?.languages ?? []).find((tag) => /^(zh|en)\b/i.test(tag)) ?? "en";

export const language = /^zh/i.test(wanted) ? "zh-CN" : "en";

const ATTRIBUTES = { textLabel: "aria-label", textPlaceholder: "placeholder", textTitle: "title" };

/** The text `name`, with what `values` holds in the place of {their names}; `values.count` chooses its form. */
export function t(name, values = {}) {
  const [english, chinese] = TEXTS[name];
  const forms = language === "zh-CN" ? chinese : english;
  const form = Array.isArray(forms) ? forms[values.count === 1 ? 0 : 1] : forms;
  return form.replace(/\{(\w+)\}/g, (whole, key) => (key in values ? String(values[key]) : whole));
}

/** Fill in the texts that a page names: data-text, data-text-label, data-text-placeholder, data-text-title. */
export function translate(page = document) {
  page.documentElement.lang = language;
  for (const element of page.querySelectorAll("[data-text]")) {
    element.textContent = t(element.dataset.text);
  }
  for (const [key, attribute] of Object.entries(ATTRIBUTES)) {
    const named = key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    for (const element of page.querySelectorAll(`[data-${named}]`)) {
      element.setAttribute(attribute, t(element.dataset[key]));
    }
  }
}
