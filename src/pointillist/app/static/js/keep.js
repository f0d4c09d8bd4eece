/** A small store in the browser's database that outlives the page: entries by key, read back in order. */

export async function keep(name) {
  const database = await new Promise((resolve, reject) => {
    const opening = indexedDB.open(name, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("entries", { keyPath: "key" });
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
  const change = (work) =>
    new Promise((resolve, reject) => {
      const transaction = database.transaction("entries", "readwrite");
      work(transaction.objectStore("entries"));
      transaction.oncomplete = () => resolve();
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  return {
    put: (entry) => change((entries) => entries.put(entry)),
    remove: (keys) => change((entries) => keys.forEach((key) => entries.delete(key))),
    all: () =>
      new Promise((resolve, reject) => {
        const reading = database.transaction("entries").objectStore("entries").getAll();
        reading.onsuccess = () => resolve(reading.result.sort((a, b) => a.order - b.order));
        reading.onerror = () => reject(reading.error);
      }),
  };
}
