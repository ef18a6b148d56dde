// Command mutants breaks the rules of the protocol one by one, each in a copy of
// the module, and sees whether the tests notice. The product holds no switches:
// a mutant is a piece of source text and what takes its place.
//
// Promised: a mutant that no test notices, one whose text is not found exactly
// once, and one that does not compile all end with exit code 1. Not promised:
// that these are all the ways to be wrong.
package main
