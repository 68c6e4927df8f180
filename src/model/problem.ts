// One thing wrong with a document from outside: where it is, what it is, and what to do about it.
//
// Checks collect all of them, so that a document is mended in one go.

export interface Problem {
  /** Where, as a JSON path: `$.modulesContent.$edgeHub["properties.desired"].routes.up`. */
  readonly path: string;
  /** What is wrong, and what to do about it. */
  readonly message: string;
}
