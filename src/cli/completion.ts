/** Completion for shells, from the parser's own tree of commands. */
import type { Command, Option } from 'commander';

export const SHELLS = ['bash', 'zsh'] as const;
export type Shell = (typeof SHELLS)[number];

interface Words {
  readonly name: string;
  readonly options: readonly string[];
  /** By option: what may stand behind it. */
  readonly choices: readonly (readonly [string, readonly string[]])[];
  /** Options that take a value of any kind, which the shell completes as a file. */
  readonly taking: readonly string[];
}

const flagsOf = ({ short, long }: Option): string[] =>
  [short, long].filter((flag) => flag !== undefined && flag !== null);

function wordsOf(command: Command): Words {
  const options = command.createHelp().visibleOptions(command);
  const taking = options.filter(({ required, optional }) => required || optional);
  return {
    name: command.name(),
    options: options.flatMap(flagsOf),
    choices: taking.flatMap((option) =>
      flagsOf(option).flatMap((flag) => (option.argChoices ? [[flag, option.argChoices] as const] : [])),
    ),
    taking: taking.filter(({ argChoices }) => argChoices === undefined).flatMap(flagsOf),
  };
}

/** A script for that shell to read. `program` has all commands. */
export function completion(program: Command, shell: Shell): string {
  const all = program.commands.map(wordsOf);
  const [first] = all;
  const body = script(program.name(), wordsOf(program), all, first?.options ?? []);
  if (shell === 'bash')
    return `# ${program.name()} completion bash > ~/.local/share/bash-completion/completions/${program.name()}\n${body}`;
  return `#compdef ${program.name()}\n# ${program.name()} completion zsh > a folder of $fpath, as _${program.name()}; or: source <(${program.name()} completion zsh)\nautoload -Uz bashcompinit && bashcompinit\n${body}`;
}

/** zsh understands it by its bashcompinit. */
function script(name: string, root: Words, all: readonly Words[], fallback: readonly string[]): string {
  const fn = `_${name.replace(/\W/g, '_')}`;
  const names = all.map((one) => one.name);
  const quoted = (words: readonly string[]): string => `"${words.join(' ')}"`;
  const ofCommand = (one: Words): string => `    ${one.name}) options=${quoted(one.options)} ;;\n`;
  const ofChoice = (one: Words): string[] =>
    one.choices.map(
      ([flag, choices]) =>
        `    "${one.name} ${flag}") COMPREPLY=($(compgen -W ${quoted(choices)} -- "$word")); return ;;\n`,
    );
  const ofTaking = (one: Words): string[] => one.taking.map((flag) => `"${one.name} ${flag}"`);
  const taking = all.flatMap(ofTaking);
  return `${fn}() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" command="" options="" one
  for one in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$one" in ${names.join('|')}) command="$one"; break ;; esac
  done
  COMPREPLY=()
  case "\${command:-${names[0] ?? ''}} $before" in
${all.flatMap(ofChoice).join('')}    ${taking.join('|')}) COMPREPLY=($(compgen -f -- "$word")); return ;;
  esac
  case "$command" in
${all.map(ofCommand).join('')}    *) options=${quoted([...new Set([...names, ...root.options, ...fallback])])} ;;
  esac
  if [[ "$word" == -* || -z "$command" ]]; then COMPREPLY=($(compgen -W "$options" -- "$word")); fi
  if [[ "$word" != -* ]]; then COMPREPLY+=($(compgen -f -- "$word")); fi
}
complete -o filenames -F ${fn} ${name}
`;
}
