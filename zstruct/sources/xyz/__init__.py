"""Extended XYZ files, plain ones too."""
