# want: 2:18: this string does not end on its line
const string S = "oh
