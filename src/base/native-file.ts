/** The two native files of this package: where they are, and whether this machine can use them. */
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { packageFile } from './package-root.js';

export const MODULE_FILE = 'build/libts_filter.so';
export const ADDON_FILE = 'build/ts_filter_addon.node';

/** `e_machine` of ELF for the values of `process.arch`. */
const MACHINES: Readonly<Record<string, number>> = {
  x64: 62,
  arm64: 183,
  arm: 40,
  ia32: 3,
  ppc64: 21,
  riscv64: 243,
  s390x: 22,
};

/** undefined: no such file, or none that a linker has made. */
function machineOf(path: string): number | undefined {
  const header = Buffer.alloc(20);
  const fd = openSync(path, 'r');
  try {
    if (readSync(fd, header, 0, header.length, 0) < header.length) return undefined;
  } finally {
    closeSync(fd);
  }
  if (header.readUInt32BE(0) !== 0x7f454c46) return undefined;
  return header[5] === 1 ? header.readUInt16LE(18) : header.readUInt16BE(18);
}

export type NativeFile =
  | { readonly path: string; readonly usable: true }
  | { readonly path: string; readonly usable: false; readonly why: string };

export function nativeFile(file: typeof MODULE_FILE | typeof ADDON_FILE): NativeFile {
  const path = packageFile(file);
  if (!existsSync(path)) return { path, usable: false, why: 'is missing' };
  const machine = machineOf(path);
  if (machine === MACHINES[process.arch]) return { path, usable: true };
  const builtFor = Object.entries(MACHINES).find(([, one]) => one === machine)?.[0] ?? 'another kind of machine';
  return { path, usable: false, why: `is built for ${builtFor}, and this is ${process.arch}` };
}
