/** Where what belongs to this package lies: in a clone and in an installed package at the same places below its folder. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

function folderWithManifest(from: string): string {
  if (existsSync(join(from, 'package.json'))) return from;
  const above = dirname(from);
  if (above === from) throw new Error(`no package.json above ${fileURLToPath(import.meta.url)}`);
  return folderWithManifest(above);
}

/** The nearest folder above this file, as a source or built, that has a package.json. */
export const packageRoot = folderWithManifest(dirname(fileURLToPath(import.meta.url)));

export const packageFile = (path: string): string => join(packageRoot, path);
