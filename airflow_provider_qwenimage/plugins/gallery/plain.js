// Records made of texts and numbers alone: whoever writes an XCom or a manifest may put anything there.

const TEXTS = ["uri", "url", "prompt", "revised_prompt", "model", "size", "request_id", "expires_at", "currency"];
const NUMBERS = ["index", "width", "height", "bytes", "seed", "cost"];

/** A text, `null` for anything else. */
export const text = (value) => (typeof value === "string" ? value : null);

/** What the page shows of an image, or of what one cost. */
export function plain(record, owner) {
  const kept = { owner };
  for (const name of TEXTS) {
    kept[name] = text(record?.[name]);
  }
  for (const name of NUMBERS) {
    kept[name] = Number.isFinite(record?.[name]) ? record[name] : null;
  }
  return kept;
}
