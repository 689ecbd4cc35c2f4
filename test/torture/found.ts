/** Messages that were once cut or hung beside edges. Each is tried again by the short torture, and none may be so. */
export const FOUND_SEED = 1_761_301_291;
export const FOUND_TIMES = 12;

export const FOUND: readonly number[] = [
  957, // a frame of a filter's own that ext_proc takes, while the end is held back for another one
  6643, // one that is full lets everything by, and the one before it waits for room
  12568, // an end that comes by a stopped filter brings along what others keep
  12985, // an injected piece undoes the end that one before a passing one holds
  15877, // a frame of a filter's own beside the unread input of one behind it
  16974, // a frame that is stopped on its way, and what is kept behind
];
