import type { HeaderMap } from 'envoy-ts-filter';

/** Whole, in gzip alone, and nobody has forbidden to change it. */
export function isRewritable(headers: HeaderMap): boolean {
  const codings = headers.getAll('content-encoding').join(',').trim().toLowerCase();
  if (codings !== 'gzip' && codings !== 'x-gzip') return false;
  // A range is of the bytes as they were compressed: it cannot be expanded alone.
  if (headers.has('content-range')) return false;
  return !/(^|[\s,])no-transform([\s,]|$)/i.test(headers.getAll('cache-control').join(','));
}

/** What held for the upstream's bytes does not hold for ours. */
export function rewriteHeaders(headers: HeaderMap, compress: boolean): void {
  const stale = ['content-length', 'accept-ranges', 'content-md5', 'digest', 'content-digest', 'repr-digest'];
  for (const name of stale) if (headers.has(name)) headers.delete(name);

  const etag = headers.get('etag');
  if (etag !== undefined && !etag.startsWith('W/')) headers.set('etag', `W/${etag}`);

  if (!compress) headers.delete('content-encoding');
  const vary = headers
    .getAll('vary')
    .join(',')
    .toLowerCase()
    .split(',')
    .map((name) => name.trim());
  if (!vary.includes('accept-encoding') && !vary.includes('*')) headers.add('vary', 'accept-encoding');
}

/** Without the header only identity is sure to be understood. */
export function acceptsGzip(acceptEncoding: readonly string[]): boolean {
  let others = false;
  for (const item of acceptEncoding.join(',').toLowerCase().split(',')) {
    const [coding, ...parameters] = item.split(';').map((part) => part.trim());
    const weight = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
    const allowed = weight === undefined || Number(weight) > 0;
    if (coding === 'gzip' || coding === 'x-gzip') return allowed;
    if (coding === '*') others = allowed;
  }
  return others;
}
