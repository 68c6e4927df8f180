// Why a Modbus transaction brought no answer, or no good one. Listed in docs/ERRORS.md.
//
// Each kind has its code and is, in lower case, the quality of the tags it cost: `bad:timeout`, `bad:exception-2`.

import { WeirError } from '../../model/errors.ts';
import type { Quality } from './decode.ts';

export type FailureKind = 'timeout' | 'crc' | 'garbled' | 'unreachable' | 'exception';

const codes: Readonly<Record<FailureKind, string>> = {
  timeout: 'MODULES_MODBUS_TIMEOUT',
  crc: 'MODULES_MODBUS_CRC',
  garbled: 'MODULES_MODBUS_GARBLED',
  unreachable: 'MODULES_MODBUS_UNREACHABLE',
  exception: 'MODULES_MODBUS_EXCEPTION',
};

export class ModbusFailure extends WeirError {
  readonly kind: FailureKind;
  /** Exception code of the slave (application protocol 1.1b3, 7); undefined for other kinds. */
  readonly exception: number | undefined;

  constructor(
    kind: FailureKind,
    message: string,
    detail: { readonly exception?: number; readonly cause?: unknown } = {},
  ) {
    super({ code: codes[kind], message, retryable: kind !== 'exception', cause: detail.cause });
    this.kind = kind;
    this.exception = detail.exception;
  }

  get quality(): Quality {
    return this.kind === 'exception' ? `bad:exception-${this.exception ?? 0}` : `bad:${this.kind}`;
  }
}
