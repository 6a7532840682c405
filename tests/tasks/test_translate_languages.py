"""Good translations in many languages are accepted, and replies in another language are not."""

from __future__ import annotations

import pytest

from llmtool.tasks.translate.checks import find_fault
from llmtool.tasks.translate.placeholders import make_placeholders
from llmtool.text.languages import find_language

ENGLISH = """\
The library is closed on Mondays.
Please enter your password to continue.
The file could not be found.
Click the button to save your changes.
We will send you an e-mail with further instructions.
This account has been deleted.
Yesterday it rained all day in the mountains.
The children are playing in the garden.
You have three new messages in your inbox.
The train to the city leaves in ten minutes.
Choose a language from the list.
My sister bought a new bicycle last week.""".splitlines()

TRANSLATIONS = {
    "de": """\
Die Bibliothek ist montags geschlossen.
Bitte geben Sie Ihr Passwort ein, um fortzufahren.
Die Datei wurde nicht gefunden.
Klicken Sie auf die Schaltfläche, um Ihre Änderungen zu speichern.
Wir senden Ihnen eine E-Mail mit weiteren Anweisungen.
Dieses Konto wurde gelöscht.
Gestern hat es in den Bergen den ganzen Tag geregnet.
Die Kinder spielen im Garten.
Sie haben drei neue Nachrichten im Posteingang.
Der Zug in die Stadt fährt in zehn Minuten ab.
Wählen Sie eine Sprache aus der Liste.
Meine Schwester hat letzte Woche ein neues Fahrrad gekauft.""",
    "fr": """\
La bibliothèque est fermée le lundi.
Veuillez saisir votre mot de passe pour continuer.
Le fichier est introuvable.
Cliquez sur le bouton pour enregistrer vos modifications.
Nous vous enverrons un courriel avec la suite des instructions.
Ce compte a été supprimé.
Hier, il a plu toute la journée à la montagne.
Les enfants jouent dans le jardin.
Vous avez trois nouveaux messages dans votre boîte de réception.
Le train pour la ville part dans dix minutes.
Choisissez une langue dans la liste.
Ma sœur a acheté un nouveau vélo la semaine dernière.""",
    "es": """\
La biblioteca está cerrada los lunes.
Introduzca su contraseña para continuar.
No se ha encontrado el archivo.
Haga clic en el botón para guardar los cambios.
Le enviaremos un correo electrónico con más instrucciones.
Esta cuenta ha sido eliminada.
Ayer llovió todo el día en las montañas.
Los niños juegan en el jardín.
Tiene tres mensajes nuevos en su bandeja de entrada.
El tren a la ciudad sale dentro de diez minutos.
Elija un idioma de la lista.
Mi hermana compró una bicicleta nueva la semana pasada.""",
    "ca": """\
La biblioteca és tancada els dilluns.
Introduïu la vostra contrasenya per a continuar.
No s'ha trobat el fitxer.
Feu clic al botó per a desar els canvis.
Us enviarem un correu electrònic amb més instruccions.
Aquest compte s'ha suprimit.
Ahir va ploure tot el dia a les muntanyes.
Els nens juguen al jardí.
Teniu tres missatges nous a la safata d'entrada.
El tren cap a la ciutat surt d'aquí a deu minuts.
Trieu una llengua de la llista.
La meva germana va comprar una bicicleta nova la setmana passada.""",
    "it": """\
La biblioteca è chiusa il lunedì.
Inserisci la password per continuare.
Impossibile trovare il file.
Fai clic sul pulsante per salvare le modifiche.
Ti invieremo un'e-mail con ulteriori istruzioni.
Questo account è stato eliminato.
Ieri ha piovuto tutto il giorno in montagna.
I bambini giocano in giardino.
Hai tre nuovi messaggi nella posta in arrivo.
Il treno per la città parte tra dieci minuti.
Scegli una lingua dall'elenco.
Mia sorella ha comprato una bicicletta nuova la settimana scorsa.""",
    "pt-BR": """\
A biblioteca fecha às segundas-feiras.
Digite sua senha para continuar.
O arquivo não foi encontrado.
Clique no botão para salvar suas alterações.
Enviaremos um e-mail com mais instruções.
Esta conta foi excluída.
Ontem choveu o dia inteiro nas montanhas.
As crianças estão brincando no jardim.
Você tem três novas mensagens na caixa de entrada.
O trem para a cidade parte em dez minutos.
Escolha um idioma da lista.
Minha irmã comprou uma bicicleta nova na semana passada.""",
    "nl": """\
De bibliotheek is op maandag gesloten.
Voer uw wachtwoord in om verder te gaan.
Het bestand is niet gevonden.
Klik op de knop om uw wijzigingen op te slaan.
We sturen u een e-mail met verdere instructies.
Dit account is verwijderd.
Gisteren heeft het de hele dag geregend in de bergen.
De kinderen spelen in de tuin.
U hebt drie nieuwe berichten in uw postvak.
De trein naar de stad vertrekt over tien minuten.
Kies een taal uit de lijst.
Mijn zus heeft vorige week een nieuwe fiets gekocht.""",
    "sv": """\
Biblioteket är stängt på måndagar.
Ange ditt lösenord för att fortsätta.
Filen kunde inte hittas.
Klicka på knappen för att spara dina ändringar.
Vi skickar ett e-postmeddelande med ytterligare instruktioner.
Det här kontot har tagits bort.
I går regnade det hela dagen i bergen.
Barnen leker i trädgården.
Du har tre nya meddelanden i inkorgen.
Tåget till staden går om tio minuter.
Välj ett språk i listan.
Min syster köpte en ny cykel förra veckan.""",
    "da": """\
Biblioteket er lukket om mandagen.
Indtast din adgangskode for at fortsætte.
Filen blev ikke fundet.
Klik på knappen for at gemme dine ændringer.
Vi sender dig en e-mail med yderligere instruktioner.
Denne konto er blevet slettet.
I går regnede det hele dagen i bjergene.
Børnene leger i haven.
Du har tre nye beskeder i din indbakke.
Toget til byen kører om ti minutter.
Vælg et sprog på listen.
Min søster købte en ny cykel i sidste uge.""",
    "nb": """\
Biblioteket er stengt på mandager.
Skriv inn passordet ditt for å fortsette.
Filen ble ikke funnet.
Klikk på knappen for å lagre endringene.
Vi sender deg en e-post med flere instruksjoner.
Denne kontoen er slettet.
I går regnet det hele dagen i fjellet.
Barna leker i hagen.
Du har tre nye meldinger i innboksen.
Toget til byen går om ti minutter.
Velg et språk fra listen.
Søsteren min kjøpte en ny sykkel forrige uke.""",
    "nn": """\
Biblioteket er stengt på måndagar.
Skriv inn passordet ditt for å halda fram.
Fila vart ikkje funnen.
Klikk på knappen for å lagra endringane.
Vi sender deg ein e-post med fleire instruksjonar.
Denne kontoen er sletta.
I går regna det heile dagen i fjellet.
Borna leikar i hagen.
Du har tre nye meldingar i innboksen.
Toget til byen går om ti minutt.
Vel eit språk frå lista.
Syster mi kjøpte ein ny sykkel førre veke.""",
    "pl": """\
Biblioteka jest zamknięta w poniedziałki.
Aby kontynuować, wprowadź hasło.
Nie znaleziono pliku.
Kliknij przycisk, aby zapisać zmiany.
Wyślemy wiadomość e-mail z dalszymi instrukcjami.
To konto zostało usunięte.
Wczoraj w górach padało przez cały dzień.
Dzieci bawią się w ogrodzie.
Masz trzy nowe wiadomości w skrzynce odbiorczej.
Pociąg do miasta odjeżdża za dziesięć minut.
Wybierz język z listy.
Moja siostra kupiła w zeszłym tygodniu nowy rower.""",
    "cs": """\
Knihovna je v pondělí zavřená.
Pro pokračování zadejte své heslo.
Soubor nebyl nalezen.
Kliknutím na tlačítko uložíte změny.
Pošleme vám e-mail s dalšími pokyny.
Tento účet byl smazán.
Včera na horách celý den pršelo.
Děti si hrají na zahradě.
V doručené poště máte tři nové zprávy.
Vlak do města odjíždí za deset minut.
Vyberte jazyk ze seznamu.
Moje sestra si minulý týden koupila nové kolo.""",
    "sk": """\
Knižnica je v pondelok zatvorená.
Ak chcete pokračovať, zadajte svoje heslo.
Súbor sa nenašiel.
Kliknutím na tlačidlo uložíte zmeny.
Pošleme vám e-mail s ďalšími pokynmi.
Tento účet bol odstránený.
Včera v horách celý deň pršalo.
Deti sa hrajú v záhrade.
V doručenej pošte máte tri nové správy.
Vlak do mesta odchádza o desať minút.
Vyberte jazyk zo zoznamu.
Moja sestra si minulý týždeň kúpila nový bicykel.""",
    "hr": """\
Knjižnica je ponedjeljkom zatvorena.
Unesite lozinku za nastavak.
Datoteka nije pronađena.
Kliknite gumb kako biste spremili promjene.
Poslat ćemo vam e-poštu s daljnjim uputama.
Ovaj je račun izbrisan.
Jučer je cijeli dan padala kiša u planinama.
Djeca se igraju u vrtu.
Imate tri nove poruke u ulaznoj pošti.
Vlak za grad polazi za deset minuta.
Odaberite jezik s popisa.
Moja je sestra prošli tjedan kupila novi bicikl.""",
    "bs": """\
Biblioteka je zatvorena ponedjeljkom.
Unesite svoju lozinku da nastavite.
Datoteka nije pronađena.
Kliknite na dugme da sačuvate izmjene.
Poslat ćemo vam e-poruku s daljim uputama.
Ovaj račun je obrisan.
Jučer je cijeli dan padala kiša u planinama.
Djeca se igraju u bašti.
Imate tri nove poruke u sandučetu.
Voz za grad polazi za deset minuta.
Izaberite jezik sa spiska.
Moja sestra je prošle sedmice kupila novi bicikl.""",
    "sr@latin": """\
Biblioteka je zatvorena ponedeljkom.
Unesite svoju lozinku da biste nastavili.
Datoteka nije pronađena.
Kliknite na dugme da biste sačuvali izmene.
Poslaćemo vam imejl sa daljim uputstvima.
Ovaj nalog je obrisan.
Juče je ceo dan padala kiša u planinama.
Deca se igraju u bašti.
Imate tri nove poruke u sandučetu.
Voz za grad polazi za deset minuta.
Izaberite jezik sa spiska.
Moja sestra je prošle nedelje kupila novi bicikl.""",
    "sr": """\
Библиотека је затворена понедељком.
Унесите своју лозинку да бисте наставили.
Датотека није пронађена.
Кликните на дугме да бисте сачували измене.
Послаћемо вам имејл са даљим упутствима.
Овај налог је обрисан.
Јуче је цео дан падала киша у планинама.
Деца се играју у башти.
Имате три нове поруке у сандучету.
Воз за град полази за десет минута.
Изаберите језик са списка.
Моја сестра је прошле недеље купила нови бицикл.""",
    "sl": """\
Knjižnica je ob ponedeljkih zaprta.
Za nadaljevanje vnesite geslo.
Datoteke ni bilo mogoče najti.
Kliknite gumb, da shranite spremembe.
Poslali vam bomo e-pošto z nadaljnjimi navodili.
Ta račun je bil izbrisan.
Včeraj je v gorah ves dan deževalo.
Otroci se igrajo na vrtu.
V nabiralniku imate tri nova sporočila.
Vlak v mesto odpelje čez deset minut.
Izberite jezik s seznama.
Moja sestra je prejšnji teden kupila novo kolo.""",
    "ru": """\
По понедельникам библиотека закрыта.
Введите пароль, чтобы продолжить.
Файл не найден.
Нажмите кнопку, чтобы сохранить изменения.
Мы отправим вам письмо с дальнейшими указаниями.
Эта учётная запись удалена.
Вчера в горах весь день шёл дождь.
Дети играют в саду.
У вас три новых сообщения.
Поезд в город отправляется через десять минут.
Выберите язык из списка.
Моя сестра на прошлой неделе купила новый велосипед.""",
    "uk": """\
По понеділках бібліотека зачинена.
Введіть пароль, щоб продовжити.
Файл не знайдено.
Натисніть кнопку, щоб зберегти зміни.
Ми надішлемо вам лист із подальшими вказівками.
Цей обліковий запис видалено.
Учора в горах цілий день ішов дощ.
Діти граються в саду.
У вас три нові повідомлення.
Потяг до міста вирушає за десять хвилин.
Виберіть мову зі списку.
Минулого тижня моя сестра купила новий велосипед.""",
    "bg": """\
Библиотеката е затворена в понеделник.
Въведете паролата си, за да продължите.
Файлът не беше намерен.
Щракнете върху бутона, за да запазите промените.
Ще ви изпратим имейл с допълнителни указания.
Този профил беше изтрит.
Вчера в планината валя цял ден.
Децата играят в градината.
Имате три нови съобщения.
Влакът за града тръгва след десет минути.
Изберете език от списъка.
Миналата седмица сестра ми си купи нов велосипед.""",
    "tr": """\
Kütüphane pazartesi günleri kapalıdır.
Devam etmek için parolanızı girin.
Dosya bulunamadı.
Değişiklikleri kaydetmek için düğmeye tıklayın.
Size ayrıntılı yönergeler içeren bir e-posta göndereceğiz.
Bu hesap silindi.
Dün dağlarda bütün gün yağmur yağdı.
Çocuklar bahçede oynuyor.
Gelen kutunuzda üç yeni ileti var.
Şehre giden tren on dakika sonra kalkıyor.
Listeden bir dil seçin.
Kız kardeşim geçen hafta yeni bir bisiklet aldı.""",
    "id": """\
Perpustakaan tutup pada hari Senin.
Masukkan kata sandi Anda untuk melanjutkan.
Berkas tidak ditemukan.
Klik tombol untuk menyimpan perubahan Anda.
Kami akan mengirimkan surel dengan petunjuk lebih lanjut.
Akun ini telah dihapus.
Kemarin hujan turun sepanjang hari di pegunungan.
Anak-anak bermain di kebun.
Anda memiliki tiga pesan baru di kotak masuk.
Kereta ke kota berangkat sepuluh menit lagi.
Pilih bahasa dari daftar.
Kakak perempuan saya membeli sepeda baru minggu lalu.""",
    "zh": """\
图书馆星期一闭馆。
请输入密码以继续。
找不到该文件。
单击按钮以保存更改。
我们会给您发送一封邮件，说明后续步骤。
此帐户已被删除。
昨天山里下了一整天的雨。
孩子们正在花园里玩耍。
您的收件箱中有三条新消息。
开往市区的火车十分钟后出发。
请从列表中选择一种语言。
我姐姐上周买了一辆新自行车。""",
    "ja": """\
図書館は月曜日が休館です。
続行するにはパスワードを入力してください。
ファイルが見つかりませんでした。
ボタンをクリックして変更を保存してください。
詳しい手順をメールでお送りします。
このアカウントは削除されました。
昨日、山では一日中雨が降りました。
子どもたちは庭で遊んでいます。
受信トレイに新しいメッセージが三件あります。
町へ行く電車は十分後に出発します。
一覧から言語を選んでください。
妹は先週、新しい自転車を買いました。""",
}
CASES = {code: text.splitlines() for code, text in TRANSLATIONS.items()}
# Languages that are not distinguished.
RELATED = [
    {"es", "ca", "pt-BR"},
    {"sv", "da", "nb", "nn"},
    {"cs", "sk"},
    {"ru", "uk", "bg"},
    {"zh", "ja"},
]
RELATED += [{"hr", "bs", "sr@latin", "sl"}, {"sr", "bg"}]


def fault(source: str, reply: str, to: str, source_language: str = "en") -> str | None:
    return find_fault(
        make_placeholders([source]),
        reply,
        finish_reason="stop",
        instruction="",
        to=find_language(to),
        source_language=source_language,
    )


@pytest.mark.parametrize("code", CASES)
def test_good_translations_are_accepted(code: str) -> None:
    assert len(CASES[code]) == len(ENGLISH)
    pairs = zip(ENGLISH, CASES[code], strict=True)
    assert [
        (reply, fault(source, reply, code)) for source, reply in pairs if fault(source, reply, code)
    ] == []


@pytest.mark.parametrize("code", CASES)
def test_untranslated_text_is_rejected(code: str) -> None:
    assert [text for text in ENGLISH if not fault(text, text, code)] == []


@pytest.mark.parametrize("code", ["de", "fr", "es", "pl", "tr", "ru", "zh", "ja"])
def test_replies_in_another_language_are_rejected(code: str) -> None:
    related = next((group for group in RELATED if code in group), {code})
    for to in CASES.keys() - related - {code}:
        faults = [
            fault(source, reply, to) for source, reply in zip(ENGLISH, CASES[code], strict=True)
        ]
        assert sum(each is not None for each in faults) >= 6, (code, to)


@pytest.mark.parametrize("to", ["de", "ru", "sr@latin", "sr", "tr"])
def test_even_a_short_reply_in_another_script_is_rejected(to: str) -> None:
    assert fault("Hello!", "你好！", to) is not None
    assert fault("Firefox 中文版", "Firefox 中文版", to) is None


@pytest.mark.parametrize(
    ("source_language", "text"),
    [
        ("zh", "Bluetooth设备管理"),
        ("zh", "使用GitHub登录"),
        ("uk", "Войти через Google"),
        ("ja", "Appを開く"),
        ("ko", "Google로 로그인"),
        ("el", "Πατήστε OK"),
    ],
)
def test_text_with_words_in_another_script_must_be_translated(
    source_language: str, text: str
) -> None:
    assert fault("ΔT (K)", "ΔT (K)", "fr", source_language) is None
    assert fault(text, text, "fr", source_language) == "is not in French"
    assert fault(text, text, "ar", source_language) == "is not in Arabic"


@pytest.mark.parametrize("to", ["ru", "zh", "ar", "ja", "el", "th"])
def test_short_sentence_without_a_letter_of_the_target_is_rejected(to: str) -> None:
    for text in ("Delete all messages", "Enter your password", "save the file now"):
        assert fault(text, text, to) is not None
    for text in ("Firefox", "Chicony Keyboard", "pip install llmtool", "git pull origin main"):
        assert fault(text, text, to) is None


def test_identifiers_do_not_count_as_words_of_a_language() -> None:
    source = "Converting source_suffix to source_suffix_list."
    assert fault(source, "S'està convertint source_suffix a source_suffix_list.", "ca") is None
    assert fault(source, source, "ca") is not None


@pytest.mark.parametrize(
    ("source", "reply", "to"),
    [
        ("PostgreSQL JavaScript TypeScript", "PostgreSQL JavaScript TypeScript", "zh"),
        ("my_file_name.txt and OAuth1", "my_file_name.txt и OAuth1", "ru"),
        (
            '"oauth_token" (OAuth1) or access token',
            '"oauth_token" (OAuth1) 또는 access token',
            "ko",
        ),
    ],
)
def test_names_in_latin_letters_are_accepted_in_other_scripts(
    source: str, reply: str, to: str
) -> None:
    assert fault(source, reply, to) is None


def test_heading_in_latin_letters_is_rejected_in_other_scripts() -> None:
    heading = "Getting Started With Kubernetes"
    assert fault(heading, heading, "zh") == "is not in Chinese"


def test_direction_marks_are_accepted_in_languages_from_right_to_left() -> None:
    assert fault("Call +1 now", "اتصل الآن \u202a+1\u202c", "ar") is None
    assert fault("Call +1 now", "اتصل \u202e الآن", "ar") == "contains control characters"
    assert fault("Call now", "\u202bJetzt\u202c anrufen", "de") == "contains control characters"


def test_letters_that_russian_does_not_have_exclude_it() -> None:
    assert fault("Onion skinning options", "Калькирование параметрлері", "kk") is None
    assert fault("Onion skinning options", "Параметры калькирования", "kk") is not None


def test_variety_of_the_source_language_may_repeat_the_source() -> None:
    source = "Bracket imbalance detected, found an extra one"
    assert fault(source, f"Curly {source.lower()}", "en-GB") is None
    assert fault(source, f"Klammer: {source}", "de") == "repeats the source"


def test_reply_in_another_language_than_a_variety_is_rejected() -> None:
    source = "Choose the color of the text in this window."
    spanish = "Elija el color del texto en esta ventana."
    assert fault(source, spanish, "en-GB") == "is not in British English"
    assert fault(source, source.replace("color", "colour"), "en-GB") is None
    assert fault(spanish, spanish, "en-GB") is None
    assert fault("Wählen Sie die Farbe aus.", "Choisissez la couleur, svp.", "de-AT", "de")


NAMES = {
    "Arabic": "العربية", "Japanese": "日本語", "Russian": "Русский", "Udmurt": "Удмурт",
    "Simplified Chinese": "简体中文",
}  # fmt: skip


def test_name_of_a_language_in_its_own_script_is_accepted_for_menus_of_languages() -> None:
    assert {name: fault(source, name, "io") for source, name in NAMES.items()} == dict.fromkeys(
        NAMES.values()
    )


@pytest.mark.parametrize(
    ("source", "reply"),
    [
        ("Russian", "ロシア語"),
        ("Arabic", "Русский"),
        ("Japanese text", "日本語"),
        ("Paper", "日本語"),
    ],
)
def test_other_name_in_a_foreign_script_is_rejected(source: str, reply: str) -> None:
    assert fault(source, reply, "io") == "is not in Ido"


def test_term_may_keep_words_of_its_source() -> None:
    source, reply = "Template tag documentation", "Template tag documentazioa"
    assert fault(source, reply, "eu") is None
    assert fault(source, source, "eu") == "is not in Basque"
    assert fault("The template tag in here", "The template tag here in", "eu") == "is not in Basque"
    assert fault(source, "Documentation of all template tags", "eu") == "is not in Basque"
