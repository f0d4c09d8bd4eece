/** Names that no other tab makes. */

const LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz";

export function newId(prefix) {
  const random = crypto.getRandomValues(new Uint8Array(16));
  return prefix + Array.from(random, (byte) => LETTERS[byte % 36]).join("");
}
