"""Operations on a net and its params, done one after another."""
