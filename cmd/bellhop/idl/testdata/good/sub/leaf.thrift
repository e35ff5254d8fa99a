struct Leaf { 1: optional Leaf left, 2: optional Leaf right }
service Top { void top() }
