/** The demo's init script (`ts-filter-host --init`): runs once in each thread before the filters load. It sets a global,
 *  and adds a variable that plugins' configurations can use. */
import { core } from './core/index.js';

const holder = globalThis as { demo_began?: string };
holder.demo_began = new Date().toISOString();

core.ctx.register_var('demo_began', () => holder.demo_began);
