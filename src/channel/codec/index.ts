export { Encoder, type FrameRoom } from './encoder.js';
export { FrameReader, MalformedFrame } from './frames-in.js';
export * from './control.js';
export type { Room } from './template.js';
export {
  ControlKind,
  DataFlag,
  EndReason,
  FrameKind,
  HeadersFlag,
  ReplyPart,
  TakeOverStep,
} from './generated/index.js';
