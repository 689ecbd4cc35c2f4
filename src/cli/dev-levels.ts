/** The levels of the host's log that `dev` steps through, as pino numbers them. */
export const LEVELS = { debug: 20, info: 30, warn: 40, error: 50 } as const;
export type DevLevel = keyof typeof LEVELS;
export const DEV_LEVELS = Object.keys(LEVELS) as readonly DevLevel[];
