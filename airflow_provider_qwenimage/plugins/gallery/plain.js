// Records made of texts and numbers alone: whoever writes an XCom or a manifest may put anything there.

const TEXTS = ["uri", "url", "prompt", "revised_prompt", "model", "size", "request_id", "expires_at", "currency", "estimate"];
const NUMBERS = ["index", "width", "height", "bytes", "seed", "cost"];

/** A text, `null` for anything else. */
export const text = (value) => (typeof value === "string" ? value : null);

/** The texts of a record by their names, in order: an author's labels. */
export const texts = (record) =>
  record && typeof record === "object" ? Object.entries(record).filter(([, value]) => typeof value === "string") : [];

/** What is told of marks of origin, `null` where nobody looked. */
function origin(told) {
  if (typeof told !== "object" || told === null || Array.isArray(told)) {
    return null;
  }
  const tc260 = typeof told.tc260 === "object" && told.tc260 !== null;
  return { c2pa: told.c2pa === true, state: text(told.c2pa_state), type: text(told.digital_source_type), tc260 };
}

/** What the page shows of an image, or of what one cost. */
export function plain(record, owner) {
  const kept = { owner, labels: texts(record?.labels), origin: origin(record?.origin) };
  for (const name of TEXTS) {
    kept[name] = text(record?.[name]);
  }
  for (const name of NUMBERS) {
    kept[name] = Number.isFinite(record?.[name]) ? record[name] : null;
  }
  return kept;
}
