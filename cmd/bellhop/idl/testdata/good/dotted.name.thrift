struct Thing { 1: bool b }
