// What an image says of having been generated: its marks of origin.

import { t } from "./language.js";

const GENERATED = new Set(["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "compositeSynthetic"]);

/** The terms of a source type without their address; marks that contradict each other are parted by a bar. */
const terms = (type) => (type ?? "").split(" | ").filter(Boolean).map((term) => term.split("/").at(-1));

/** Whether a machine can see that it is generated, as far as its record tells. */
export function isMarked({ origin }) {
  return Boolean(origin && (origin.c2pa || origin.tc260 || terms(origin.type).some((term) => GENERATED.has(term))));
}

/** The marks in words. */
export function marks({ origin }) {
  if (!origin) {
    return t("markUnknown");
  }
  const c2pa = origin.c2pa ? [origin.state ? `C2PA (${origin.state})` : "C2PA"] : [];
  return [...c2pa, ...terms(origin.type), ...(origin.tc260 ? ["TC260"] : [])].join(", ") || t("markNone");
}
