// Where a module's files are, by the file name its name has (model/module-file-name.ts).

export interface ModulePaths {
  /** Run directory of the module: the shim's sockets and records, supervision.json. */
  readonly directory: string;
  readonly socket: string;
  readonly state: string;
  readonly exit: string;
  readonly lock: string;
  readonly record: string;
  /** What the shim said when it could not start. */
  readonly errors: string;
  readonly log: string;
}

export function modulesDirectory(runDirectory: string): string {
  return `${runDirectory}/modules`;
}

export function modulePaths(
  fileName: string,
  { runDirectory, logDirectory }: { readonly runDirectory: string; readonly logDirectory: string },
): ModulePaths {
  const directory = `${modulesDirectory(runDirectory)}/${fileName}`;
  return {
    directory,
    socket: `${directory}/ctl.sock`,
    state: `${directory}/state.json`,
    exit: `${directory}/exit.json`,
    lock: `${directory}/lock`,
    record: `${directory}/supervision.json`,
    errors: `${directory}/shim.err`,
    log: `${logDirectory}/${fileName}.log`,
  };
}

/** The current log file is number 0. */
export function logFile(log: string, number: number): string {
  return number === 0 ? log : `${log}.${number}`;
}
