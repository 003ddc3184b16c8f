"""The names people, spreadsheets and other programs give to columns: of numbers, of names."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_WHATSAPP = """
    whatsapp; whatsapp number; whatsapp no; whatsapp phone; whatsapp phone number; phone whatsapp
    wa id; wa number; wa; numero whatsapp; numero de whatsapp; telefono whatsapp; nomor whatsapp
    nomor wa; no wa; no whatsapp; whatsapp nummer; whatsapp numarasi; رقم الواتساب; واتساب
    וואטסאפ; ватсап; व्हाट्सएप; whatsapp号码
"""
_MOBILE = """
    mobile; mobile number; mobile no; mobile phone; mobile phone number; cell; cell phone
    cell phone number; cell number; cellphone; msisdn; handphone; handphone number; hp; hp no
    celular; numero celular; numero de celular; movil; telefono movil; numero movil
    telemovel; telefone celular; portable; telephone portable; mobil; mobilnummer; mobiltelefon
    handy; handynummer; cellulare; numero di cellulare; mobiel; mobiel nummer; nomor hp; no hp
    telefon bimbit; nombor telefon bimbit; cep; cep telefonu; cep no; komorka; numer komorkowy
    мобильный; мобильный телефон; сотовый; мобільний; جوال; رقم الجوال; موبايل; رقم الموبايل
    נייד; טלפון נייד; मोबाइल; मोबाइल नंबर; 手机; 手机号; 手机号码; 手機; 手機號碼; 携帯; 携帯電話
    携帯電話番号; 휴대폰; 휴대폰번호; 핸드폰; มือถือ; เบอร์มือถือ; di động; số di động
"""
_PHONE = """
    phone; phone number; phone no; phone 1 value; telephone; telephone number; telephone no; tel
    tel no; e164; contact number; contact no; telefono; numero de telefono; numero di telefono
    telefone; numero de telefone; fone; numero de telephone; telefon; telefonnummer; rufnummer
    telefoon; telefoonnummer; telepon; nomor telepon; no telepon; no telp; nombor telefon
    no telefon; telefon numarasi; numer telefonu; telefonni cislo; puhelin; puhelinnumero
    телефон; номер телефона; номер телефону; τηλέφωνο; هاتف; الهاتف; رقم الهاتف; تلفن; شماره تلفن
    טלפון; מספר טלפון; फ़ोन; फ़ोन नंबर; ফোন; 电话; 电话号码; 電話; 電話號碼; 電話番号; 전화
    전화번호; โทรศัพท์; เบอร์โทร; เบอร์โทรศัพท์; điện thoại; số điện thoại; sđt
"""
_NUMBER = "number; to; numero; nummer; nomor; nombor; номер; 号码; 號碼; 番号; 번호"


def plain(name: str) -> str:
    """A name without case, accents, spaces and signs: `Nº de Teléfono` and `no_de_telefono`."""
    return "".join(one for one in unicodedata.normalize("NFKD", name).casefold() if one.isalnum())


def _names(listed: str) -> frozenset[str]:
    return frozenset(plain(name) for name in listed.replace("\n", ";").split(";")) - {""}


# From the most to the least specific; within a group no name says more than another.
PHONE_NAMES = tuple(_names(listed) for listed in (_WHATSAPP, _MOBILE, _PHONE, _NUMBER))

_FIRST = """
    first name; firstname; given name; name; full name; contact name; customer name; customer
    nombre; nombre completo; nome; nome completo; prenom; nom; vorname; voornaam; naam; nama
    nama depan; imie; isim; ad; имя; όνομα; الاسم; שם; नाम; 名字; 姓名; 名前; 이름; ชื่อ; tên; họ tên
"""
NAME_NAMES = _names(_FIRST)
"""What a column of people's names is called."""


def first_name(values: Mapping[str, str]) -> str | None:
    """The first filled value of a row whose column is called like a name; None without one."""
    found = (
        value.strip() for column, value in values.items() if value and plain(column) in NAME_NAMES
    )
    return next((value for value in found if value), None)
