/** Decoded tiles, the ones used last kept, so that the neighbouring slices are there before they are asked for. */

const MOST_PIXELS = 24e6;

export class TileCache {
  #entries = new Map();
  #pixels = 0;

  /** The tile's ImageBitmap; asked for once however many want it. */
  load(url) {
    const known = this.#entries.get(url);
    if (known) {
      this.#entries.delete(url);
      this.#entries.set(url, known);
      return known.promise;
    }
    const entry = { bitmap: null, pixels: 0 };
    entry.promise = fetchBitmap(url).then(
      (bitmap) => {
        entry.bitmap = bitmap;
        entry.pixels = bitmap.width * bitmap.height;
        this.#pixels += entry.pixels;
        this.#shrink();
        return bitmap;
      },
      (error) => {
        this.#entries.delete(url);
        throw error;
      },
    );
    this.#entries.set(url, entry);
    return entry.promise;
  }

  /** The bitmap if it is here now. */
  ready(url) {
    return this.#entries.get(url)?.bitmap ?? null;
  }

  #shrink() {
    for (const [url, entry] of this.#entries) {
      if (this.#pixels <= MOST_PIXELS) return;
      if (!entry.bitmap) continue;
      this.#entries.delete(url);
      this.#pixels -= entry.pixels;
    }
  }
}

async function fetchBitmap(url) {
  const answer = await fetch(url, { credentials: "same-origin" });
  if (!answer.ok) throw new Error(`tile: ${answer.status}`);
  return createImageBitmap(await answer.blob(), { colorSpaceConversion: "none", premultiplyAlpha: "default" });
}
