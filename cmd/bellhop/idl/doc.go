// Package idl reads Thrift IDL files, so that `bellhop call` can name what the wire has only numbers for. It turns a file
// and what it includes into services, methods and types whose references are followed to their ends. It must never touch
// the network, write a file, or follow an include without end: files, their sizes and their nesting are bounded.
//
//	FILE.thrift ─► tokens (depth bounded) ─► grammar ─► document ─┐
//	   └─ include ─► the same, from the file's folder or -I ──────┴─► names ─► resolve ─► *Program: services, types
//
// The grammar is that of Apache Thrift (its doc/specs/idl.md), with the parts that compilers only warn about: fields without
// ids, xsd_ and cpp_ words. Every error is an *Error: file, line, column, what is wrong and what to do.
package idl
