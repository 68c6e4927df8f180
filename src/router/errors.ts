// What the router refuses, by code. The codes are listed in docs/ERRORS.md.

import { WeirError, type WeirErrorDetail } from '../model/errors.ts';

export type RouterErrorCode = 'ROUTER_CLOSED';

export class RouterError extends WeirError {
  declare readonly code: RouterErrorCode;

  constructor(detail: WeirErrorDetail & { readonly code: RouterErrorCode }) {
    super(detail);
  }
}

export type RouteProblemCode =
  | 'ROUTER_ROUTE_SYNTAX'
  | 'ROUTER_ROUTE_TYPE'
  | 'ROUTER_ROUTE_TOO_LARGE'
  | 'ROUTER_ROUTE_ENDPOINT_UNKNOWN'
  | 'ROUTER_ROUTE_SETTING_INVALID'
  | 'ROUTER_TOO_MANY_ROUTES';

/** Why one route is not in force. The other routes are. */
export interface RouteProblem {
  readonly route: string;
  readonly code: RouteProblemCode;
  /** What is wrong and what to write instead. */
  readonly message: string;
  /** 1-based character of the route's text; undefined when the problem is not in the text. */
  readonly column: number | undefined;
}
