// Where a module's files are, by the file name its name has (model/module-file-name.ts).

export interface ModulePaths {
  /** The name as a file name. */
  readonly fileName: string;
  /** Run directory of the module: the shim's sockets and records, supervision.json. */
  readonly directory: string;
  readonly socket: string;
  /** Where it says how it is (sd_notify). */
  readonly notify: string;
  readonly state: string;
  readonly exit: string;
  readonly lock: string;
  /** What it said last of its health. */
  readonly notified: string;
  readonly record: string;
  /** What the shim said when it could not start. */
  readonly errors: string;
  readonly log: string;
  /** Kept over boots and generations, and when the module is removed; its own alone. */
  readonly data: string | undefined;
}

export interface ModuleRoots {
  readonly runDirectory: string;
  readonly logDirectory: string;
  readonly dataDirectory?: string | undefined;
}

export function modulesDirectory(runDirectory: string): string {
  return `${runDirectory}/modules`;
}

export function modulePaths(fileName: string, { runDirectory, logDirectory, dataDirectory }: ModuleRoots): ModulePaths {
  const directory = `${modulesDirectory(runDirectory)}/${fileName}`;
  return {
    fileName,
    directory,
    socket: `${directory}/ctl.sock`,
    notify: `${directory}/notify.sock`,
    state: `${directory}/state.json`,
    exit: `${directory}/exit.json`,
    lock: `${directory}/lock`,
    notified: `${directory}/notify.json`,
    record: `${directory}/supervision.json`,
    errors: `${directory}/shim.err`,
    log: `${logDirectory}/${fileName}.log`,
    data: dataDirectory === undefined ? undefined : `${dataDirectory}/${fileName}/data`,
  };
}

/** The current log file is number 0. */
export function logFile(log: string, number: number): string {
  return number === 0 ? log : `${log}.${number}`;
}
