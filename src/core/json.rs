//! Strict JSON for tokens and key sets: duplicate keys, deep nesting, NaN and huge numbers are refused.
