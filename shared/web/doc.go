// Package web is the edge between HTTP and the rest: it decodes requests
// strictly, calls a function of plain Go values, and encodes what it returns.
// Every error becomes a problem document (RFC 9457) here and nowhere else.
//
// It knows no route, no entity and no database.
package web
