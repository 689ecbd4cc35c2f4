/** Messages that were once cut or hung. Each is tried again by the short torture, and none may be so. */
export const FOUND_TIMES = 12;

/** Of each seed the messages' numbers. */
const A = 1_761_301_291;
const B = 1_340_057_128;
const C = 1_578_095_375;
const D = 777_001;
const E = 9_001;
const F = 1_421_641_971;

interface Found {
  readonly seed: number;
  readonly index: number;
  /** Beside edges, if nothing is said. */
  readonly edges?: false;
}

export const FOUND: readonly Found[] = [
  { seed: A, index: 957 }, // a frame of a filter's own that ext_proc takes, while the end is held back for another one
  { seed: A, index: 6643 }, // one that is full lets everything by, and the one before it waits for room
  { seed: A, index: 12568 }, // an end that comes by a stopped filter brings along what others keep
  { seed: A, index: 12985 }, // an injected piece undoes the end that one before a passing one holds
  { seed: A, index: 15877 }, // a frame of a filter's own beside the unread input of one behind it
  { seed: A, index: 16974 }, // a frame that is stopped on its way, and what is kept behind
  { seed: B, index: 2547 }, // an end that comes while a frame is filled
  { seed: C, index: 801 }, // bytes that went by ours and were taken back before its trailers
  { seed: C, index: 1125 }, // trailers that come while ext_proc waits for its headers' answer (1.38)
  { seed: C, index: 3132 }, // an end that one lets go while the next of ours still makes output (1.38)
  { seed: C, index: 9829 }, // a filter that lets go with an empty piece what it has kept
  { seed: D, index: 961 }, // one that lets by fills a buffer, while the end is held back for the one before it
  { seed: F, index: 322 }, // what Lua between two of ours keeps is new to the second
  { seed: E, index: 9813, edges: false }, // unread input of one behind bytes that somebody behind both keeps
];
