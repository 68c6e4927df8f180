// The simulated machine of Azure's SimulatedTemperatureSensor, with its arithmetic.
//
//   temperature: from machineTempMin, + [-0.25, 1.25) a step (0.5 on average) up to machineTempMax, then ± 0.5
//   pressure:    machinePressureMin + (temperature − machineTempMin) × (pressure range / temperature range)
//   ambient:     ambientTemp ± 0.5; humidity 24, 25 or 26
//
// Pure but for the injected entropy. A step is taken also while sending is switched off, as in the original.

import type { Entropy } from '../../platform/entropy.ts';

export interface MachineParameters {
  readonly machineTempMin: number;
  readonly machineTempMax: number;
  readonly machinePressureMin: number;
  readonly machinePressureMax: number;
  readonly ambientTemp: number;
}

export interface Reading {
  readonly machine: { readonly temperature: number; readonly pressure: number };
  readonly ambient: { readonly temperature: number; readonly humidity: number };
}

export const defaultParameters: MachineParameters = {
  machineTempMin: 21,
  machineTempMax: 100,
  machinePressureMin: 1,
  machinePressureMax: 10,
  ambientTemp: 21,
};

const humidityMin = 24;
const humidityValues = 3;

export class Machine {
  readonly #parameters: MachineParameters;
  readonly #entropy: Entropy;
  #temperature: number;

  constructor(parameters: MachineParameters, entropy: Entropy) {
    this.#parameters = parameters;
    this.#entropy = entropy;
    this.#temperature = parameters.machineTempMin;
  }

  reset(): void {
    this.#temperature = this.#parameters.machineTempMin;
  }

  step(): Reading {
    const { machineTempMin, machineTempMax, machinePressureMin, machinePressureMax, ambientTemp } = this.#parameters;
    const isHot = this.#temperature > machineTempMax;
    this.#temperature += isHot ? this.#entropy.fraction() - 0.5 : -0.25 + this.#entropy.fraction() * 1.5;
    const pressurePerDegree = (machinePressureMax - machinePressureMin) / (machineTempMax - machineTempMin);
    return {
      machine: {
        temperature: this.#temperature,
        pressure: machinePressureMin + (this.#temperature - machineTempMin) * pressurePerDegree,
      },
      ambient: {
        temperature: ambientTemp + this.#entropy.fraction() - 0.5,
        humidity: humidityMin + Math.floor(this.#entropy.fraction() * humidityValues),
      },
    };
  }
}
