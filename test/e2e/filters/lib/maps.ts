/** What the body filters do to each byte. The two do not commute: a direction that is skipped, doubled or swapped shows. */
export function mapRequest(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) out[i] = bytes[i]! ^ 0x5a;
  return out;
}

export function mapResponse(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) out[i] = (bytes[i]! + 7) & 255;
  return out;
}
