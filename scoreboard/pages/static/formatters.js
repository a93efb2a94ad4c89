/**
 * Formatters: pure functions from data to display text. They also make untrusted names and avatars safe to show.
 */

const NAME_CODE_POINTS_MAX = 80;
const INITIALS_MAX = 2;

/**
 * The first visible character: a flag of two letters, or a character with its marks, joined to the next by a zero-width joiner as in
 * the emoji of a family. `Intl.Segmenter` knows more of them, but Firefox has it only since 2024.
 */
const FIRST_GRAPHEME = /^(?:\p{Regional_Indicator}{2}|.[\p{M}\p{Emoji_Modifier}]*(?:\u200d.[\p{M}\p{Emoji_Modifier}]*)*)/su;
const unsigned = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const signed = new Intl.NumberFormat("en", { maximumFractionDigits: 0, signDisplay: "exceptZero" });

/**
 * A visible name of one line and bounded length, without control characters and invisible direction marks.
 * It is still untrusted text: put it into the page with `textContent`, inside a `<bdi>`.
 * @param {unknown} username
 * @param {string} userId the result if the name has no visible character
 */
export function displayName(username, userId) {
  const visible = String(username ?? "")
    .slice(0, NAME_CODE_POINTS_MAX * 4)
    .replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "")
    .replace(/[\p{Cc}\p{Z}]+/gu, " ")
    .trim();
  const shortened = [...visible].slice(0, NAME_CODE_POINTS_MAX).join("");
  return /[^\p{C}\p{Z}\p{M}]/u.test(shortened) ? shortened : userId;
}

/**
 * The initials of a name's first two words, or its first letter.
 * @param {string} name
 */
export function initials(name) {
  const words = name.split(/[\s._-]+/).filter((word) => /[\p{L}\p{N}]/u.test(word)).slice(0, INITIALS_MAX);
  return (words.length ? words : [name]).map(firstGrapheme).join("").toLocaleUpperCase("en");
}

/** @param {string} word */
function firstGrapheme(word) {
  const [first] = word.replace(/^[^\p{L}\p{N}]+(?=[\p{L}\p{N}])/u, "").match(FIRST_GRAPHEME) ?? ["?"];
  return first.slice(0, 8);
}

/**
 * A hue in degrees: a hash of the user id, so it does not depend on the name.
 * @param {string} userId
 */
export function avatarHue(userId) {
  let hash = 2166136261;
  for (let i = 0; i < userId.length; i += 1) {
    hash = Math.imul(hash ^ userId.charCodeAt(i), 16777619);
  }
  hash = Math.imul(hash ^ (hash >>> 15), 2246822519);
  return ((hash ^ (hash >>> 13)) >>> 0) % 360;
}

/**
 * The avatar's URL if it has the page's origin, else null. A request to another origin would reveal the viewer to that server.
 * @param {unknown} avatar
 * @param {string} origin the page's own
 * @returns {string | null}
 */
export function sameOriginAvatar(avatar, origin) {
  if (typeof avatar !== "string") return null;
  try {
    const url = new URL(avatar, origin);
    return url.origin === origin ? url.href : null;
  } catch {
    return null; // it is no URL
  }
}

/** @param {number} number */
export const formatNumber = (number) => unsigned.format(number).replace("-", "−");

/** A number with its sign. @param {number} difference */
export const formatDifference = (difference) => signed.format(difference).replace("-", "−");

/** @param {number} ageMs */
export function formatAge(ageMs) {
  const seconds = Math.max(0, Math.floor(ageMs / 1000));
  if (seconds < 3) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  const days = Math.floor(seconds / 86_400);
  return days === 1 ? "a day ago" : `${days} days ago`;
}
