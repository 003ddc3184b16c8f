"""Operations tool for WhatsApp Coexistence channels."""

__version__ = "0.1.0"
