// Cases worth keeping: what once failed, and packets at the edges. They are played first in every run, and new
// cases of the codec are bred from them.
//
//   corpus/codec-*.txt    a case a line: version, packet as hex          4 c000
//   corpus/siege-*.txt    one script (script.ts)
//
// A run that finds a failure adds a file of its own here; it is kept when it was mended, under a better name.

import * as fs from 'node:fs';
import * as path from 'node:path';
import type { MqttVersion } from '../../src/protocol/mqtt/frame.ts';
import type { CodecCase } from './codec.ts';
import { parseScript, type Script, scriptText } from './script.ts';

export interface Corpus {
  readonly codec: readonly CodecCase[];
  readonly sieges: readonly { readonly name: string; readonly script: Script }[];
}

/** The corpus of the repository, for programs and tests that run at its root. */
export const corpusFolder = path.join('test', 'fuzz', 'corpus');

export function readCorpus(folder = corpusFolder): Corpus {
  const files = fs.readdirSync(folder).sort();
  const read = (name: string): string => fs.readFileSync(path.join(folder, name), 'utf8');
  const codec = files.filter((name) => name.startsWith('codec-')).flatMap((name) => codecCases(read(name)));
  const sieges = files.filter((name) => name.startsWith('siege-'));
  return { codec, sieges: sieges.map((name) => ({ name, script: parseScript(read(name)) })) };
}

function codecCases(text: string): CodecCase[] {
  const lines = text.split('\n').map((line) => line.replace(/#.*/, '').trim());
  return lines
    .filter((line) => line !== '')
    .map((line) => ({
      version: Number(line[0]) as MqttVersion,
      bytes: Buffer.from(line.slice(1).replaceAll(' ', ''), 'hex'),
    }));
}

/** Keeps a failing case; the file's path. */
export function saveCodecCase(name: string, { version, bytes }: CodecCase): string {
  return save(`codec-${name}.txt`, `${version} ${bytes.toString('hex')}\n`);
}

export function saveSiege(name: string, script: Script): string {
  return save(`siege-${name}.txt`, `${scriptText(script)}\n`);
}

function save(name: string, text: string): string {
  const file = path.join(corpusFolder, name);
  fs.mkdirSync(corpusFolder, { recursive: true });
  fs.writeFileSync(file, text);
  return file;
}
