// Package lang is what rollcall says to people, in English and in Dutch: one catalogue that the terminal, the report and every other
// surface share. Start with [Language.Say].
//
// A key is the English sentence itself, as the reader sees it. catalogue/*.txt has a pair of lines for each: the key, and
// the same in Dutch. Both are formats of package fmt with numbers written as the language has them, and both may choose a word by a number:
// in "%d {device|devices} moved" the braces follow the number before them, in "{2:is|are}" the second argument. Lines that
// begin with # are comments.
//
// What a program reads is not translated: JSON, logs, event logs, flags, and the names of rules.
package lang
