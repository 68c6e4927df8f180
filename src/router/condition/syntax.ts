// What a condition says, as a tree with places in the text.
//
//   tightest first:  ( ) literal property $property {$property} function()
//                    - NOT │ * / % │ + - || │ < <= > >= │ = != <> │ AND │ OR │ ??
//
// All operators between two operands group from the left. `start` and `end` are 0-based in the whole route.

interface Place {
  readonly start: number;
  readonly end: number;
}

export type ArithmeticOperator = '+' | '-' | '*' | '/' | '%';
export type OrderOperator = '<' | '<=' | '>' | '>=';
export type EqualityOperator = '=' | '!=';

export type ConditionNode =
  | (Place & { readonly kind: 'literal'; readonly value: number | string | boolean | null | undefined })
  /** An application property. */
  | (Place & { readonly kind: 'property'; readonly name: string })
  /** `$name`, with the `$`. In braces it never means an application property. */
  | (Place & { readonly kind: 'system'; readonly name: string; readonly isBraced: boolean })
  | (Place & { readonly kind: 'call'; readonly name: string; readonly operands: readonly ConditionNode[] })
  | (Place & { readonly kind: 'negate' | 'not'; readonly operand: ConditionNode })
  | (Place & {
      readonly kind: 'binary';
      readonly operator: BinaryOperator;
      readonly operatorAt: number;
      readonly left: ConditionNode;
      readonly right: ConditionNode;
    });

export type BinaryOperator = ArithmeticOperator | OrderOperator | EqualityOperator | '||' | 'and' | 'or' | '??';
