namespace Millrace.Relabeling;

/// <summary>What a rule does. "Value" is the source labels' values joined by the separator.</summary>
internal enum RelabelAction
{
    /// <summary>If the regex matches the value, the target label becomes the replacement.</summary>
    Replace,

    /// <summary>Drops the series unless the regex matches the value.</summary>
    Keep,

    /// <summary>Drops the series if the regex matches the value.</summary>
    Drop,

    /// <summary>Drops the series unless the target label equals the value.</summary>
    KeepEqual,

    /// <summary>Drops the series if the target label equals the value.</summary>
    DropEqual,

    /// <summary>The target label becomes the hash of the value, modulo the modulus.</summary>
    HashMod,

    /// <summary>Copies labels whose name matches to the name the replacement makes.</summary>
    LabelMap,

    /// <summary>Removes the labels whose name matches.</summary>
    LabelDrop,

    /// <summary>Removes the labels whose name does not match.</summary>
    LabelKeep,

    /// <summary>The target label becomes the value in lower case.</summary>
    Lowercase,

    /// <summary>The target label becomes the value in upper case.</summary>
    Uppercase,

    /// <summary>vmagent: every match inside the value is replaced; the target is set only if that changed it.</summary>
    ReplaceAll,

    /// <summary>vmagent: every match inside every label name is replaced.</summary>
    LabelMapAll,

    /// <summary>vmagent: drops the series unless all source labels have one value.</summary>
    KeepIfEqual,

    /// <summary>vmagent: drops the series if all source labels have one value.</summary>
    DropIfEqual,

    /// <summary>vmagent: drops the series unless the target label contains the value of each source label.</summary>
    KeepIfContains,

    /// <summary>vmagent: drops the series if the target label contains the value of each source label.</summary>
    DropIfContains,

    /// <summary>vmagent: labels from the parts of a dotted metric name.</summary>
    Graphite,

    /// <summary>vmagent: <see cref="Keep"/> on the metric name.</summary>
    KeepMetrics,

    /// <summary>vmagent: <see cref="Drop"/> on the metric name.</summary>
    DropMetrics,
}
