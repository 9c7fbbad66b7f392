"""What the reader types and sees; the only part of the package that knows IPython and widgets."""
