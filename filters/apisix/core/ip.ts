/** Addresses and ranges. */
import ipaddr from 'ipaddr.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** undefined when the text is no address. An IPv4 address that is written as IPv6 is an IPv4 address. */
export function parseIp(text: string | undefined): Address | undefined {
  if (text === undefined || !isIp(text)) return undefined;
  return ipaddr.process(text);
}

/** Only the usual forms: `127.1` and `0x7f000001` are none. */
export function isIp(text: string): boolean {
  return ipaddr.IPv4.isValidFourPartDecimal(text) || (text.includes(':') && ipaddr.IPv6.isValid(text));
}

export function isCidr(text: string): boolean {
  const slash = text.indexOf('/');
  return slash > 0 && isIp(text.slice(0, slash)) && ipaddr.isValidCIDR(text);
}

/** For schemas: an address or a range; anything else is refused in APISIX's words. */
export const IP_OR_CIDR = {
  anyOf: [
    { type: 'string', format: 'ip' },
    { type: 'string', format: 'cidr' },
  ],
} as const;

/** A set of addresses and ranges. */
export class IpMatcher {
  private readonly ranges: readonly [Address, number][];

  constructor(texts: readonly string[]) {
    this.ranges = texts.map((text) => {
      if (text.includes('/')) return ipaddr.parseCIDR(text);
      const address = ipaddr.process(text);
      return [address, address.kind() === 'ipv4' ? 32 : 128];
    });
  }

  /** What is no address is in no range. */
  has(text: string | undefined): boolean {
    const address = parseIp(text);
    return address !== undefined && this.ranges.some(([of, bits]) => inRange(address, of, bits));
  }
}

const inRange = (address: Address, of: Address, bits: number): boolean =>
  address.kind() === of.kind() && address.match(of, bits);

/** `1.1.1.1`, `1.1.1.1:80`, `::1`, `[::1]`, `[::1]:80`; undefined for anything else. */
export function parseIpAndPort(text: string): { readonly ip: string; readonly port: number | undefined } | undefined {
  if (isIp(text)) return { ip: text, port: undefined };
  const found = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text);
  const ip = found?.[1] ?? found?.[2];
  const port = found?.[3] === undefined ? undefined : Number(found[3]);
  if (ip === undefined || !isIp(ip) || (port !== undefined && (port < 1 || port > 65535))) return undefined;
  return { ip, port };
}
