/** The filters of a stage, in the order of the chain. */
export const TAGS = ['A', 'B'] as const;
