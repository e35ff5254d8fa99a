include "base.thrift"
service Main extends base.Root { void own() }
