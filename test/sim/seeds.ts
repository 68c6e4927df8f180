// Seeds that found something, each with what it found. They are played first, whatever else is played.
//
// A seed stands for a run only as long as what is drawn is not changed; the line stays as the record of the find.

export const keptSeeds: readonly { readonly seed: number; readonly found: string }[] = [
  {
    seed: 79,
    found: 'the store thread died before a drain had begun: the drain went round within one turn of the loop for ever',
  },
  {
    seed: 171,
    found: 'a commit failed after a read had found expired messages: the drain went past them and they left uncounted',
  },
  {
    seed: 84,
    found:
      'power cut while a segment begins: its header was gone, the next life went on in it and let the older ones go, and the life after that began another epoch',
  },
  {
    seed: 700_710,
    found:
      'the clock was believed and then was not, in one boot: what was stored meanwhile was marked as if its hour were right, and expired at once after the next boot',
  },
];

/** Found, told, and not yet mended: left out of the runs of all seeds, so that the others are heard. */
export const openSeeds: readonly { readonly seed: number; readonly found: string }[] = [];
