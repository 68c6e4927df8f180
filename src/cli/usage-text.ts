// What yargs has to say of a wrong command line, in one line and in weir's words.
//
//   Invalid values:\n  Argument: status, Given: "foo", Choices: "on", "off"  →  --status foo is none of on, off.
//   Missing required argument: device                                        →  --device is missing.
//   Not enough non-option arguments: got 0, need at least 1                  →  Something is missing: weir restart <modules..>
//
// Pure. What is not known here stays as it is, on one line.

/** `usage` is the first line of the command's help. */
export function usageText(message: string, usage: string): string {
  const [, name, given, choices] =
    /^Invalid values:\s+Argument: (\S+), Given: (.*), Choices: (.+)$/s.exec(message) ?? [];
  if (name !== undefined) return `--${name} ${plain(given)} is none of ${plain(choices)}.`;
  const missing = /^Missing required arguments?: (.+)$/.exec(message)?.[1]?.split(', ');
  if (missing !== undefined)
    return `${missing.map((option) => `--${option}`).join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing.`;
  if (message.startsWith('Not enough non-option arguments')) return `Something is missing: ${usage}.`;
  return message.replaceAll(/\s*\n\s*/g, ' ');
}

function plain(text: string | undefined): string {
  return (text ?? '').replaceAll('"', '').trim();
}
