// Package plan is the plan file: one YAML document that says who the devices and users are, what happens
// when, what fails meanwhile and what must hold at the end. Live and rehearsed runs play the same plan.
//
// Start with [Load] (a file), [Parse] (bytes) or [BuiltIn] (a ready plan by name). All three return a plan
// that is complete (defaults filled in) and free of contradictions, or [Errors]: every mistake with file, line,
// column, what was expected and the nearest valid word. [Schema] is the same grammar as a JSON Schema, made from
// the Go types, for editors. [Plan.Evaluate] compares a result with the plan's limits. [Plan.Encode] writes a plan that a program has
// made.
//
// The ready plans are files under plans; each says in teaches what it shows. Waves of licences are unrolled as a plan is read:
// whoever plays it sees licences only, while errors name the line of the wave ([Plan.Path]).
//
// The package reads and judges plans; it makes no devices (fleet/population does) and runs nothing. Which keys
// exist grows with what rollcall can do; the shape stays.
//
// # Bounds
//
// A plan is at most 1 MiB, 64 levels deep and 1,000,000 nodes once its aliases are followed (HST-015). Tags, merge
// keys and several documents in one file are refused: a plan says what it says in one place. A limit is at most
// 1,000 characters of comparisons and arithmetic, without calls, loops or ranges (HST-016).
package plan
