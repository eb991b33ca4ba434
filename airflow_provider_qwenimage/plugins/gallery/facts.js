// What is told of an image, in words.

import { t } from "./language.js";
import { marks } from "./marks.js";

const UNITS = ["bytes", "kB", "MB", "GB"];

function size(bytes) {
  const step = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), UNITS.length - 1);
  return `${(bytes / 1000 ** step).toFixed(step ? 1 : 0)} ${UNITS[step]}`;
}

export function money(amount, currency) {
  return `${Number(amount.toFixed(4))}${currency ? ` ${currency}` : ""}`;
}

/** An amount that says whether it is an estimate. */
export function price({ cost, currency, estimate }) {
  const amount = money(cost, currency);
  return estimate ? t("estimated", { amount }) : amount;
}

export const isNumber = (value) => typeof value === "number";

export const pixels = (image) => (image.width && image.height ? `${image.width} × ${image.height}` : image.size);

/** The name of its file; its prompt where it has none. */
export const nameOf = (image) => image.uri?.slice(image.uri.lastIndexOf("/") + 1) || image.prompt || t("image");

const told = ([, value]) => value !== null && value !== undefined && value !== "";

/** All that is known of it, as pairs of a name and words. */
export function facts(image) {
  return [
    ...image.labels,
    [t("model"), image.model],
    [t("size"), [pixels(image), isNumber(image.bytes) ? size(image.bytes) : null].filter(Boolean).join(", ")],
    [t("seed"), image.seed],
    [t("cost"), isNumber(image.cost) ? price(image) : null],
    [t("mark"), image.uri ? marks(image) : null],
    [t("task"), image.owner.name],
    [t("request"), image.request_id],
    [t("uri"), image.uri],
  ].filter(told);
}

/** What a filter looks at. */
export function text(image) {
  return [image.prompt, image.revised_prompt, ...facts(image).flat()].join("\n").toLowerCase();
}
