// The page of a task that asks for an approval: shows the images, takes the choice, hands the answer to Airflow.

import { Refused, value } from "./api.js";
import { element, find } from "./element.js";
import { Caption } from "./caption.js";
import { Choice } from "./choice.js";
import { forget, keep, kept } from "./draft.js";
import { t, translate } from "./language.js";
import { plain, text } from "./plain.js";
import { answer, decided, draft, question } from "./question.js";
import { owner, scope } from "./scope.js";
import { followTheme } from "./theme.js";
import { Tiles } from "./tiles.js";
import { Viewer } from "./viewer.js";

const [subject, summary, body, notice, grid] = ["subject", "summary", "body", "notice", "grid"].map(find);
const buttons = ["all", "none", "answer"].map(find);
const [all, none, send] = buttons;
const me = { taskId: scope.taskId, mapIndex: scope.mapIndex };

const AGAIN = 3000; // milliseconds until the task is asked what counted
const CONFIRMING = 20; // times

let asked = null; // the question, null where it cannot be read
let choice = null;
let tiles = null;
let isSending = false;
let held = []; // images that wait to be compared

function say(...words) {
  notice.replaceChildren(...words.filter(Boolean).map((word) => element("p", { textContent: word })));
  notice.hidden = notice.childElementCount === 0;
}

function report() {
  const count = [t("chosenOf", { chosen: choice.chosen, count: choice.total }), t("rejectedCount", { count: choice.rejected })];
  const limits = t(choice.minimum === choice.maximum ? "limitExactly" : "limits", { minimum: choice.minimum, maximum: choice.maximum });
  const problem = asked?.isOpen && choice.problem;
  summary.textContent = [...count, problem ? t(...problem) : asked?.isOpen ? limits : ""].filter(Boolean).join(" · ");
  all.disabled = none.disabled = !asked?.isOpen || isSending;
  send.disabled = !asked?.isOpen || isSending || Boolean(choice.problem);
}

/** Show how it ended; nothing can be changed then. */
function close(...before) {
  if (asked.isAnswered) {
    const at = asked.at ? new Date(asked.at).toLocaleString() : "";
    say(...before, asked.by ? t("answeredBy", { name: asked.by, at }) : t("answeredByTimeout", { at }));
    choice.restore(decided(asked, choice.uris));
  } else {
    say(...before, t("notOpen"));
  }
  choice.close();
}

/** Airflow may take both of two answers of one moment, and goes on with one: which one counted the task tells. */
async function confirm(sent, times = CONFIRMING) {
  const told = await value(me, "approval").catch(() => null);
  if (told?.state !== "answered") {
    setTimeout(() => times > 1 && confirm(sent, times - 1), AGAIN);
  } else if (JSON.stringify(told.approved) !== JSON.stringify(sent.approved)) {
    say(t("answeredAlready"));
    choice.restore(draft(new Set(told.approved), choice.uris));
  }
}

async function submit() {
  isSending = true;
  report();
  const sent = choice.answer;
  try {
    await answer(asked, sent);
    forget(asked.created);
    asked = await question();
    close();
    confirm(sent);
  } catch (error) {
    const words = error instanceof Refused ? error.message : t("failedReading");
    say(words);
    asked = await question().catch(() => asked);
    if (!asked.isOpen) {
      close(words);
    }
  }
  isSending = false;
  report();
}

/** Look whether somebody else has answered meanwhile. */
async function look() {
  if (document.hidden || !asked?.isOpen || isSending) {
    return;
  }
  const now = await question().catch(() => asked);
  if (asked.isOpen && !now.isOpen) {
    asked = now;
    close();
    report();
  }
}

function show(images, limits) {
  choice = new Choice(images.map(({ uri }) => uri), limits);
  const viewer = new Viewer(() => new Caption(choice));
  const compare = (image, from) => {
    held = held.includes(image) ? held.filter((one) => one !== image) : [...held, image];
    if (held.length === 2) {
      viewer.open(images, from, held);
      held = [];
    }
    tiles.hold(held);
  };
  if (asked?.isOpen) {
    choice.restore(kept(asked.created));
    choice.watch(() => asked.isOpen && keep(asked.created, choice.draft));
  }
  choice.watch(report);
  tiles = new Tiles(grid, images, choice, { open: (image, from) => viewer.open(images, from, [image]), compare });
}

async function read() {
  const [candidates, approval] = await Promise.all([value(me, "candidates"), value(me, "approval").catch(() => null)]);
  const unread = await question().then((found) => void (asked = found), (error) => error);
  const images = (Array.isArray(candidates) ? candidates : []).map((image) => plain(image, owner(scope.taskId, scope.mapIndex)));
  subject.textContent = asked?.subject || t("galleryTitle");
  body.textContent = text(approval?.body) ?? "";
  body.hidden = body.textContent === "";
  show(images.filter((image) => image.uri), { minimum: approval?.minimum ?? 1, maximum: approval?.maximum ?? null });
  if (unread) {
    say(unread instanceof Refused ? unread.message : t("failedReading"));
    choice.close();
  } else if (!asked.isOpen) {
    close();
  } else if (approval?.refused) {
    say(t("answerRefused", { reason: text(approval.refused) ?? "" }));
  }
  report();
}

translate();
followTheme();
all.addEventListener("click", () => choice.all());
none.addEventListener("click", () => choice.none());
send.addEventListener("click", submit);
document.addEventListener("visibilitychange", look);
addEventListener("focus", look);
read()
  .catch((error) => say(error instanceof Refused ? error.message : t("failedReading")))
  .finally(() => (document.body.dataset.state = "read"));
