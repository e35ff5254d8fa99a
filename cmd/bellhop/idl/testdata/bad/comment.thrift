# want: 3:3: this comment never ends: close it with */
struct S {}
  /* oh
