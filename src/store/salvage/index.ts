// What is still readable of a damaged database file: its pages, its trees, its rows.
//
// A folder of its own inside the store, because it knows SQLite's file format and nothing else of the store does.
// It runs on the store thread, when a file goes to quarantine, and when its file system takes no writes.

export { PageFile, pageBytes } from './page-file.ts';
export { type Rescued, rescue } from './rescue.ts';
